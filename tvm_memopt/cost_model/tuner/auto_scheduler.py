"""The graph network as a cost model of the auto-scheduler of the Relay-era TVM (0.16).

``SketchPolicy(task, GCNModel.pretrained())``, or ``with default_cost_model("gcn"):`` for code that names no model. It
shares the features, the network, checkpoints and online learning with the cost model of MetaSchedule.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import tvm
from tvm import auto_scheduler
from tvm.auto_scheduler import search_task, task_scheduler
from tvm.auto_scheduler.cost_model.cost_model import PythonBasedModel
from tvm.driver.build_module import schedule_to_module

from tvm_memopt.cost_model.data.samples import compressed
from tvm_memopt.cost_model.features.extract import Graphs, extract_old
from tvm_memopt.cost_model.network.checkpoint import PRETRAINED, load_checkpoint, save_checkpoint
from tvm_memopt.cost_model.network.online import OnlineLearner, OnlineSettings
from tvm_memopt.cost_model.network.predictor import from_checkpoint
from tvm_memopt.cost_model.tuner.target_fit import difference, misfit
from tvm_memopt.errors import MemoptError

logger = logging.getLogger(__name__)

FilePath: TypeAlias = str | PathLike[str]

NAMES = ("gcn",)


class GCNModel(PythonBasedModel):  # type: ignore[misc]
    """Score states with a graph network that keeps learning. One object serves any number of tasks.

    A new object is untrained and returns random scores until it has seen enough measurements. ``load`` and
    ``pretrained`` start from a checkpoint, also one that was trained on programs of another TVM: the features are the
    same. ``model_file``: a checkpoint to write after each update. Needs the extra ``learn``.
    """

    def __init__(
        self, seed: int = 0, settings: OnlineSettings | None = None, model_file: FilePath | None = None
    ) -> None:
        super().__init__()
        self.seed, self.settings, self.model_file = seed, settings, model_file
        self.learner = OnlineLearner(None, seed, settings)
        self.failed, self.source = 0, ""
        self.must_fit = True
        self._checked: set[str] = set()

    @staticmethod
    def pretrained(
        seed: int = 0, settings: OnlineSettings | None = None, model_file: FilePath | None = None
    ) -> GCNModel:
        """Start from the bundled checkpoint. Raises MemoptError if this installation has none."""
        if not PRETRAINED.exists():
            raise MemoptError("this installation has no pre-trained cost model: train one and load() it")
        model = GCNModel(seed, settings, model_file)
        model.load(PRETRAINED)
        return model

    def load(self, path: FilePath) -> None:
        """Continue from a checkpoint. Raises MemoptError if it is damaged or of another feature version."""
        trained = from_checkpoint(load_checkpoint(Path(path)), str(path))
        self.source = str(path)
        self.learner = OnlineLearner(trained, self.seed, self.settings, trained.target)
        self._checked.clear()

    def save(self, path: FilePath) -> None:
        """Write the current network as a checkpoint. Raises MemoptError if it has learned nothing yet."""
        if self.learner.trained is None:
            raise MemoptError("the cost model has learned nothing yet: there is nothing to save")
        save_checkpoint(Path(path), self.learner.trained.checkpoint())

    def update(
        self, inputs: Sequence[auto_scheduler.MeasureInput], results: Sequence[auto_scheduler.MeasureResult]
    ) -> None:
        """Learn from a round of measurements. Failed ones are counted and ranked below all that ran."""
        for key, numbers in _by_task(inputs).items():
            task = inputs[numbers[0]].task
            self._check(task)
            graphs, lowered = _graphs(task, [inputs[i].state for i in numbers])
            seconds = np.array([_seconds(results[i]) for i in numbers])
            self.failed += int(np.isinf(seconds).sum())
            self.learner.learn(key, graphs, seconds[lowered])
        if self.model_file is not None and self.learner.trained is not None:
            self.save(self.model_file)

    def update_from_file(self, file_name: FilePath, n_lines: int | None = None) -> None:
        """Learn from the records of a log file, from all or the first ``n_lines``."""
        inputs, results = auto_scheduler.RecordReader(str(file_name)).read_lines(n_lines)
        self.update([auto_scheduler.measure.recover_measure_input(one, rebuild_state=True) for one in inputs], results)

    def predict(self, task: auto_scheduler.SearchTask, states: Sequence[auto_scheduler.State]) -> np.ndarray:
        """Scores, float64 [states]. Higher is better, and -inf a state that cannot be lowered."""
        self._check(task)
        graphs, lowered = _graphs(task, states)
        scores = np.full(len(states), -np.inf)
        if len(lowered):
            scores[lowered] = self.learner.predict(_key(task), graphs)
        return scores

    def predict_stages(self, task: auto_scheduler.SearchTask, states: Sequence[auto_scheduler.State]) -> np.ndarray:
        """The scores in TVM's packed format, with no scores of single stages: the network scores whole programs."""
        return np.concatenate([self.predict(task, states), np.zeros(len(states))])

    def _check(self, task: auto_scheduler.SearchTask) -> None:
        """Raise MemoptError, or start anew if nothing ``must_fit``, for a target that the network cannot rank for."""
        target = json.dumps(dict(task.target.export()), default=_plain)
        if target in self._checked:
            return
        if "cpu" not in task.target.keys:
            raise MemoptError(f"the cost model reads programs for processors: expected a CPU target, got {task.target}")
        if not self.learner.pretrained:
            self.learner.target = target
        elif (reason := misfit(self.learner.target, target)) is not None:
            message = f"{self.source}: was trained for {reason}: collect on that target and train"
            if self.must_fit:
                raise MemoptError(message)
            logger.warning("%s; the search starts without training", message)
            self.learner, self.source = OnlineLearner(None, self.seed, self.settings, target), ""
        elif (reason := difference(self.learner.target, target)) is not None:
            logger.info("%s: was trained for %s: it ranks, and learns the difference", self.source, reason)
        self._checked.add(target)


@contextmanager
def default_cost_model(
    name: str = "gcn", *, seed: int = 0, checkpoint: FilePath | None = None, settings: OnlineSettings | None = None
) -> Iterator[None]:
    """Inside, tuning that names no cost model uses the graph network instead of XGBModel. Restored at the end.

    ``checkpoint``: None for the bundled one, which a task for other processors starts without. Raises MemoptError for
    another ``name`` and for a damaged checkpoint.
    """
    if name not in NAMES:
        raise MemoptError(f"cost model {name!r} is unknown: expected one of {', '.join(NAMES)}")
    if checkpoint is not None:
        load_checkpoint(Path(checkpoint))  # fails here rather than in the middle of a search

    def make(*_arguments: object, model_file: FilePath | None = None, **_options: object) -> GCNModel:
        """Takes the arguments of XGBModel. How often and from how many samples it learns is its own affair."""
        model = GCNModel(seed, settings, model_file)
        if checkpoint is not None:
            model.load(checkpoint)
        elif PRETRAINED.exists():
            model.load(PRETRAINED)
            model.must_fit = False
        return model

    with _bound(make):
        yield


@contextmanager
def _bound(make: Callable[..., GCNModel]) -> Iterator[None]:
    """XGBModel replaced where TVM makes one by default."""
    users = (search_task, task_scheduler)
    stock = [user.XGBModel for user in users]
    try:
        for user in users:
            user.XGBModel = make
        yield
    finally:
        for user, model in zip(users, stock, strict=True):
            user.XGBModel = model


def program_of(task: auto_scheduler.SearchTask, state: auto_scheduler.State) -> str | None:
    """The program that a state is measured as, in the form that extract_old reads. None: TVM cannot lower it."""
    try:
        schedule, args = task.compute_dag.apply_steps_from_state(state, task.layout_rewrite_option)
        return str(tvm.ir.save_json(schedule_to_module(schedule, args)["main"]))
    except (tvm.TVMError, ValueError, TypeError, IndexError, RuntimeError):
        return None


def _graphs(task: auto_scheduler.SearchTask, states: Sequence[auto_scheduler.State]) -> tuple[Graphs, np.ndarray]:
    """Compressed graphs of the states that can be lowered, and the indices of those."""
    programs = [program_of(task, state) for state in states]
    lowered = [i for i, program in enumerate(programs) if program is not None]
    return compressed(extract_old([program for program in programs if program is not None])), np.array(lowered, int)


def _by_task(inputs: Sequence[auto_scheduler.MeasureInput]) -> dict[str, list[int]]:
    """Indices of the inputs by the key of their task."""
    found: dict[str, list[int]] = {}
    for number, measured in enumerate(inputs):
        found.setdefault(_key(measured.task), []).append(number)
    return found


def _key(task: auto_scheduler.SearchTask) -> str:
    return f"{task.workload_key} {task.target}"


def _seconds(result: auto_scheduler.MeasureResult) -> float:
    """The median time; infinite for a failed measurement."""
    if result.error_no != auto_scheduler.measure.MeasureErrorNo.NO_ERROR or not len(result.costs):
        return float("inf")
    median = float(np.median([float(cost) for cost in result.costs]))
    return median if median > 0 else float("inf")


def _plain(value: Any) -> Any:
    """Containers and numbers of TVM as JSON has them."""
    if isinstance(value, tvm.ir.Array):
        return list(value)
    if isinstance(value, tvm.ir.Map):
        return {str(key): item for key, item in value.items()}
    return getattr(value, "value", None) or str(value)
