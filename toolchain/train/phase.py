"""The epochs of one phase of a run: learned, rewired, recorded, and put aside when time is up."""

from __future__ import annotations

from dataclasses import replace

from toolchain.train.checkpoint import Checkpoint, Progress, Record, write_model
from toolchain.train.learner import assert_masked
from toolchain.train.loop import Pause, Setting, added, train_epoch
from toolchain.train.model import trained
from toolchain.train.records import is_best, line, record_of, stopped
from toolchain.train.rewiring import Moved, rewire_all
from toolchain.train.session import OutOfTimeError, Session


def learn_phase(state: Checkpoint, setting: Setting, session: Session) -> list[Record]:
    """Train the epochs of a phase that are left; the history of all of them."""
    learner, history, progress = state.learner, list(state.history), state.progress
    session.save_metrics(history)
    for epoch in range(setting.first + len(history) + 1, setting.last + 1):
        pause = _pause(session, state, setting, history, epoch)
        ended = stopped(history, setting)
        progress = train_epoch(learner, setting, progress, epoch=epoch, stopped=ended, pause=pause)
        record = record_of(learner.model, setting, progress, history, epoch)
        if is_best(record, history) and session.world.writes:
            write_model(session.out / "best.safetensors", learner.model)
        _rewire(record, state, setting, progress.moved, history)
        history.append(record)
        progress = Progress()
        session.save(replace(state, history=history, progress=progress))
        session.save_metrics(history)
        setting.watch("epoch", epoch, setting.config.epochs, line(record))
        if epoch < setting.config.epochs and session.over():
            raise OutOfTimeError(epoch + 1, 0)
    return history


def _pause(
    session: Session, state: Checkpoint, setting: Setting, history: list[Record], epoch: int
) -> Pause:
    """What follows every batch: a checkpoint where one is due, and the end of a session's time."""
    every = setting.config.training.checkpoint_batches

    def pause(progress: Progress) -> None:
        over = session.over()
        if over or (every is not None and progress.batches % every == 0):
            session.save(replace(state, history=history, progress=progress))
        if over:
            raise OutOfTimeError(epoch, progress.batches)

    return pause


def _rewire(
    record: Record, state: Checkpoint, setting: Setting, moved: Moved, history: list[Record]
) -> None:
    """Rewire where the schedule says so, and note in the record how much moved in this epoch."""
    at, learner = record["epoch"] * setting.batches, state.learner
    ended = stopped([*history, record], setting)
    if at in setting.course.steps and not ended:
        moved = added(moved, rewire_all(learner, setting.course, setting.config, at=at))
    for part in trained(learner.model):
        assert_masked(learner, part, optimizer=part.name not in learner.strengths)
    masks = (part.mask for part in trained(learner.model))
    setting.world.assert_equal(masks, "the masks of an epoch")
    for layer in record["layers"]:
        layer |= moved.get(layer["name"], {})
