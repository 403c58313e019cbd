"""One browser tab without a browser: a websocket that speaks Streamlit's protocol as its frontend does.

What the frontend does and the server can see: it sends the state of every widget on screen with each rerun, names the
fragment of the widget that moved, keeps the URL that the server last asked for, forgets widgets that a run no longer
draws, and keeps large messages by hash for a few runs, so that the server sends the hash alone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.Slider_pb2 import Slider
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.typing import Origin, Subprotocol

PATIENCE = 60.0
"""Seconds after which an answer that has not come is an error."""
KEPT_RUNS = 2
"""Runs that a large message is kept for after its last use: ``global.maxCachedMessageAge``."""
SUBPROTOCOLS = [Subprotocol("streamlit"), Subprotocol("PLACEHOLDER_AUTH_TOKEN")]


@dataclass(frozen=True)
class App:
    """A served app: its URL, the label of its slider, and which element is its picture."""

    url: str
    slider: str
    is_picture: Callable[[Element], bool]


@dataclass
class Answer:
    """What came of one rerun; times are seconds from sending it, None for what did not come.

    Attributes:
        page: the page's address.
        value: what the slider was moved to, "" for the opening of a page.
        picture, finished: when the picture's message was read, and the one that ends the script.
        film: the bytes of the picture, where it is a component's.
        problems: exceptions on screen, a failed script, a closed connection, a timeout.
    """

    page: str
    value: str = ""
    sent: float = field(default_factory=time.perf_counter)
    picture: float | None = None
    finished: float | None = None
    film: bytes = b""
    problems: list[str] = field(default_factory=list)
    done: asyncio.Event = field(default_factory=asyncio.Event, repr=False)


@dataclass(frozen=True)
class Node:
    """An element on screen, the fragment and the script that drew it, and the run in which they did."""

    element: Element
    fragment: str
    script: str
    run: str


class Tab:
    """A tab of the browser: ``await open()``, ``await move(value)``, ``await visit(page)``, ``drop()``.

    Args:
        app: what to open.
        page: the page's address, "" for the first.
        query: the experiment in the URL.
    """

    def __init__(self, app: App, page: str = "", query: str = "") -> None:
        self.app, self.page, self.query = app, page, query
        self.nodes: dict[tuple[int, ...], Node] = {}
        self.pages: dict[str, str] = {}
        self._values: dict[str, WidgetState] = {}
        self._kept: dict[str, tuple[ForwardMsg, int, str]] = {}
        self._runs = 0
        self._run, self._script, self._main = "", "", ""
        self._answer = Answer(page)
        self._socket: ClientConnection | None = None
        self._listener: asyncio.Task[None] | None = None

    async def open(self, patience: float = PATIENCE) -> Answer:
        """Connect and ask for the page; the clock runs from before the connection."""
        self._answer = answer = Answer(self.page)
        try:
            await self._connect()
        except (OSError, TimeoutError, WebSocketException) as error:
            answer.problems.append(f"no connection: {type(error).__name__}")
            return answer
        return await self._rerun(answer, patience=patience)

    async def _connect(self) -> None:
        address = urlsplit(self.app.url)
        self._socket = await connect(
            f"ws://{address.netloc}/_stcore/stream",
            origin=Origin(self.app.url),
            subprotocols=SUBPROTOCOLS,
            proxy=None,
            max_size=None,
            max_queue=None,
            ping_interval=None,
            open_timeout=PATIENCE,
        )
        self._listener = asyncio.create_task(self._listen(self._socket))

    async def move(self, value: str) -> Answer:
        """Move the app's slider to one of the values that it shows and wait until the script has ended."""
        answer = Answer(self.page, value)
        node = self._slider()
        if node is None:
            answer.problems.append("no slider on screen")
            return answer
        slider = node.element.slider
        state = WidgetState(id=slider.id)
        if slider.type == Slider.SELECT_SLIDER:
            state.string_array_value.data.append(value)
        else:
            state.double_array_value.data.append(float(value))
        self._values[slider.id] = state
        return await self._rerun(answer, fragment=node.fragment)

    async def visit(self, page: str) -> Answer:
        """Go to another page by its link: what the page drew is gone, with its widgets, and so is the query."""
        self.nodes = {path: node for path, node in self.nodes.items() if node.script == self._main}
        self._forget_widgets()
        self.page, self.query = page, ""
        return await self._rerun(Answer(page), script=self.pages[page])

    def drop(self) -> None:
        """Lose the connection, as a closed lid does: no goodbye."""
        if self._listener:
            self._listener.cancel()
        if self._socket:
            self._socket.transport.abort()

    def _slider(self) -> Node | None:
        sliders = (node for node in self.nodes.values() if node.element.WhichOneof("type") == "slider")
        return next((node for node in sliders if node.element.slider.label == self.app.slider), None)

    async def _rerun(self, answer: Answer, fragment: str = "", script: str = "", patience: float = PATIENCE) -> Answer:
        assert self._socket
        self._answer = answer
        message = BackMsg()
        state = message.rerun_script
        state.query_string = self.query
        state.widget_states.widgets.extend(self._values.values())
        state.page_script_hash = script or self._script
        state.page_name = "" if state.page_script_hash else self.page
        state.fragment_id = fragment
        state.cached_message_hashes.extend(self._kept)
        state.context_info.timezone, state.context_info.locale = "UTC", "en-GB"
        state.context_info.url, state.context_info.color_scheme = f"{self.app.url}/{self.page}", "light"
        try:
            await self._socket.send(message.SerializeToString())
            async with asyncio.timeout(patience):
                await answer.done.wait()
        except TimeoutError:
            answer.problems.append("timeout")
        except WebSocketException:
            answer.problems.append("connection closed")
        if not answer.problems and answer.picture is None:
            answer.problems.append("no picture")
        return answer

    async def _listen(self, socket: ClientConnection) -> None:
        try:
            async for payload in socket:
                assert isinstance(payload, bytes)
                self._take(ForwardMsg.FromString(payload), time.perf_counter() - self._answer.sent)
        except WebSocketException:
            pass
        self._answer.problems.append("connection closed")
        self._answer.done.set()

    def _take(self, message: ForwardMsg, after: float) -> None:
        message = self._unpacked(message)
        kind = message.WhichOneof("type")
        if kind == "new_session":
            self._run, self._script = message.metadata.run.script_run_id, message.new_session.page_script_hash
            self._main = message.new_session.main_script_hash
        elif kind == "navigation":
            self._script = message.navigation.page_script_hash
            self.pages = {("" if p.is_default else p.url_pathname): p.page_script_hash
                          for p in message.navigation.app_pages}  # fmt: skip
        elif kind == "page_info_changed":
            self.query = message.page_info_changed.query_string
        elif kind == "delta":
            self._draw(message, after)
        elif kind == "session_event" and message.session_event.HasField("script_compilation_exception"):
            self._answer.problems.append("script does not compile")
        elif kind == "page_not_found":
            self._answer.problems.append("page not found")
        elif kind == "script_finished":
            self._finish(message, after)

    def _unpacked(self, message: ForwardMsg) -> ForwardMsg:
        """The message itself, where the server has sent its hash alone; large messages are kept."""
        if message.WhichOneof("type") == "ref_hash":
            kept = self._kept.get(message.ref_hash)
            if kept is None:
                self._answer.problems.append("a message was sent as a hash that is not known here")
                return message
            metadata = message.metadata
            message = ForwardMsg.FromString(kept[0].SerializeToString())
            message.metadata.CopyFrom(metadata)
            self._kept[message.hash] = (kept[0], self._runs, kept[2])
        elif message.metadata.cacheable:
            self._kept[message.hash] = (message, self._runs, message.delta.fragment_id)
        return message

    def _draw(self, message: ForwardMsg, after: float) -> None:
        path, delta, metadata = tuple(message.metadata.delta_path), message.delta, message.metadata
        if delta.WhichOneof("type") == "add_block":
            self.nodes.pop(path, None)
        elif delta.WhichOneof("type") == "new_element":
            element = delta.new_element
            run = metadata.run.script_run_id or self._run
            self.nodes[path] = Node(element, delta.fragment_id, metadata.active_script_hash, run)
            state = widget_state(element)
            if state and (state.id not in self._values or _is_set(element)):
                self._values[state.id] = state
            if element.WhichOneof("type") == "exception":
                self._answer.problems.append(f"exception on screen: {element.exception.message}")
            if self._answer.picture is None and self.app.is_picture(element):
                self._answer.picture, self._answer.film = after, element.bidi_component.bytes

    def _finish(self, message: ForwardMsg, after: float) -> None:
        status, fragments = message.script_finished, set(message.metadata.run.fragment_ids)
        if status == ForwardMsg.FINISHED_EARLY_FOR_RERUN:
            return
        if status == ForwardMsg.FINISHED_WITH_COMPILE_ERROR:
            self._answer.problems.append("script failed")
        run = message.metadata.run.script_run_id or self._run
        self.nodes = {
            path: node
            for path, node in self.nodes.items()
            if node.run == run or (fragments and node.fragment not in fragments)
        }
        self._forget_widgets()
        self._runs += 1
        self._kept = {
            key: kept
            for key, kept in self._kept.items()
            if self._runs - kept[1] <= KEPT_RUNS or (fragments and kept[2] not in fragments)
        }
        self._answer.finished = after
        self._answer.done.set()

    def _forget_widgets(self) -> None:
        alive = {state.id for node in self.nodes.values() if (state := widget_state(node.element))}
        self._values = {key: state for key, state in self._values.items() if key in alive}


def widget_state(element: Element) -> WidgetState | None:
    """The state that the frontend keeps for a widget that was just drawn; None for what is no widget or has none."""
    kind = element.WhichOneof("type")
    if kind not in ("slider", "selectbox", "multiselect", "checkbox", "number_input", "button_group"):
        return None
    widget = getattr(element, kind)
    state = WidgetState(id=widget.id)
    if kind == "checkbox":
        state.bool_value = widget.value if widget.set_value else widget.default
    elif kind == "number_input":
        state.double_value = widget.value if widget.set_value else widget.default
    elif kind == "slider" and widget.type != Slider.SELECT_SLIDER:
        state.double_array_value.data.extend(widget.value if widget.set_value else widget.default)
    elif kind == "selectbox":
        if not widget.HasField("raw_value" if widget.set_value else "default"):
            return None
        state.string_value = widget.raw_value if widget.set_value else widget.options[widget.default]
    elif widget.set_value:
        state.string_array_value.data.extend(widget.raw_values if kind != "slider" else widget.raw_value)
    else:
        options = [option.content if kind == "button_group" else option for option in widget.options]
        state.string_array_value.data.extend(options[int(i)] for i in widget.default)
    return state


def _is_set(element: Element) -> bool:
    """Whether the server wants the widget to show a value of its own choice."""
    return getattr(element, element.WhichOneof("type") or "").set_value
