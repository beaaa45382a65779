"""Ties between widgets, the state and worker threads that end with the widget."""

import logging
import threading
import weakref
from collections.abc import Callable
from typing import Any

from psygnal import SignalInstance
from psygnal.qt import start_emitting_from_queue
from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QObject, Qt, QTimer, Signal
from qtpy.QtWidgets import QWidget

from driftviewer.errors import InputError

log = logging.getLogger(__name__)

is_alive: Callable[[Any], bool] = isalive
"""Whether the Qt side of an object still exists."""

QUEUE_MS = 20
"""Pause between looks at what other threads have emitted; psygnal's default of none would keep a core busy."""


_links: list[tuple[SignalInstance, Callable[..., None], "weakref.WeakMethod[Any]"]] = []


def link(signal: SignalInstance, slot: Callable[[], None]) -> None:
    """Call `slot`, a widget's method, in the GUI's thread whenever the state emits, for as long as the widget lives."""
    start_emitting_from_queue(msec=QUEUE_MS, timer_type=Qt.TimerType.CoarseTimer)
    method = weakref.WeakMethod(slot)

    def call(*_: Any) -> None:
        bound = method()
        if bound is not None and is_alive(bound.__self__):
            bound()

    signal.connect(call, thread="main")
    _links.append((signal, call, method))
    owner: QObject = slot.__self__
    owner.destroyed.connect(_unlink)


def _unlink(*_: Any) -> None:
    """Let go of every signal whose widget is gone.

    A closure in place of this function would be part of the garbage when a window is collected with its state, and
    calling it then crashes the interpreter.
    """
    for entry in tuple(_links):
        signal, call, method = entry
        bound = method()
        if bound is None or not is_alive(bound.__self__):
            signal.disconnect(call, missing_ok=True)
            _links.remove(entry)


class Latest(QObject):
    """Runs functions in a thread, one at a time; of those that wait, only the newest is run.

    `finished` carries a result, `failed` a sentence; neither is emitted for a request that a newer one has replaced.
    """

    finished = Signal(object)
    failed = Signal(str)
    _ended = Signal(object, object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._waiting: Callable[[], Any] | None = None
        self._busy = False
        self._ended.connect(self._end)

    @property
    def busy(self) -> bool:
        """Whether a request is under way or waits."""
        return self._busy

    def submit(self, function: Callable[[], Any]) -> None:
        """Run `function` as soon as the one under way has ended."""
        self._waiting = function
        if not self._busy:
            self._next()

    def cancel(self) -> None:
        """Drop what waits, and the result of what is under way."""
        self._waiting = (lambda: None) if self._busy else None

    def _next(self) -> None:
        function, self._waiting, self._busy = self._waiting, None, True
        threading.Thread(target=_work, args=(weakref.ref(self), function), name="driftviewer-read", daemon=True).start()

    def _end(self, result: Any, error: str | None) -> None:
        self._busy = False
        if self._waiting is not None:
            self._next()
        elif error is not None:
            self.failed.emit(error)
        elif result is not None:
            self.finished.emit(result)


def _work(owner: "weakref.ref[Latest]", function: Callable[[], Any]) -> None:
    result, error = None, None
    try:
        result = function()
    except InputError as raised:
        error = str(raised)
    except Exception as raised:
        log.exception("reading failed")
        error = f"{type(raised).__name__}: {raised}"
    latest = owner()
    if latest is not None and is_alive(latest):
        try:
            latest._ended.emit(result, error)
        except RuntimeError:  # the widget was closed this very moment
            log.debug("nobody waits for the result any more")


class WheelGuard(QObject):
    """Lets the wheel scroll the panel, not change the number or choice that happens to be under the mouse."""

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802 - Qt's name
        """Ignore wheel events of widgets without focus."""
        if event.type() == QEvent.Type.Wheel and isinstance(watched, QWidget) and not watched.hasFocus():
            event.ignore()
            return True
        return super().eventFilter(watched, event)


def guard_wheel(widget: QWidget) -> None:
    """Give a widget a `WheelGuard`."""
    widget.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    widget.installEventFilter(WheelGuard(widget))


def later(owner: QObject, slot: Callable[[], None], ms: int = 0) -> QTimer:
    """Return a single-shot timer: started again and again, `slot` is called once, `ms` after the last start."""
    timer = QTimer(owner)
    timer.setSingleShot(True)
    timer.setInterval(ms)
    timer.timeout.connect(slot)
    return timer
