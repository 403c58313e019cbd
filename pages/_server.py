"""What a server does once, before its first page: compile, warm up, and put speed where it is felt."""

from __future__ import annotations

import gc
import os
import socket
import stat
import sys
import threading
from functools import partial

import streamlit as st
import torch

from engine import Experiment, train, train_many
from engine.presets import PRESETS
from pages import _film
from pages._ui import RUNS, TURNS

SWITCH_INTERVAL = 2e-4
"""Seconds after which a training gives way to the thread that talks to browsers. Python's 5 ms made a picture wait up
to 100 ms behind the next computation: each of the few turns that sending it takes was waited for in full."""

OPEN_FILES = "/proc/self/fd"


@st.cache_resource(show_spinner=False)
def warm_up() -> None:
    """Once a server: what the first visitor would wait for, and what no visitor should pay for.

    Frozen objects are not visited when Python collects garbage, which takes long with torch's in the heap.
    """
    torch.set_num_threads(1)
    sys.setswitchinterval(SWITCH_INTERVAL)
    send_at_once()
    _film.ensure_vega()
    _ = train(Experiment(steps=20)).curves
    gc.collect()
    gc.freeze()
    threading.Thread(target=_train_presets, daemon=True).start()


def send_at_once() -> None:
    """Set TCP_NODELAY on this process's sockets; connections accepted later inherit it from the listening one.

    asyncio sets it only where a socket names its protocol, which Streamlit's does not, so that a picture of several
    messages waited up to 40 ms for the browser's delayed acknowledgement. Without /proc nothing is done.
    """
    names = os.listdir(OPEN_FILES) if os.path.isdir(OPEN_FILES) else []
    for name in names:
        try:
            if not stat.S_ISSOCK(os.stat(f"{OPEN_FILES}/{name}").st_mode):
                continue
            with socket.socket(fileno=os.dup(int(name))) as copy:
                if copy.family in (socket.AF_INET, socket.AF_INET6) and copy.type == socket.SOCK_STREAM:
                    copy.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            continue  # closed since


def _train_presets() -> None:
    """Train the default experiment and the presets, each while nobody wants a picture."""
    for query in ({}, *PRESETS.values()):
        exp = Experiment.from_query(query)[0]
        work = partial(train_many, [exp], dtype=torch.float64)
        TURNS.behind(lambda wanted, exp=exp, work=work: RUNS.get((exp,), work, _go_on), _go_on)  # type: ignore[misc]


def _go_on() -> None:
    """The pulse of work that nobody can cancel."""
