"""Train thousands of small models at once, with every way for weight decay to enter. Needs no Streamlit.

>>> from engine import Experiment, train
>>> run = train(Experiment(steps=100))
>>> run.curves.query("variant == 'adamw'").test_loss.iloc[-1] < 0.7
True
"""

from engine.datasets import DATASETS
from engine.experiment import Experiment
from engine.run import Run
from engine.train import train, train_finals, train_many
from engine.variants import VARIANTS

__all__ = ["DATASETS", "VARIANTS", "Experiment", "Run", "train", "train_finals", "train_many"]
