"""Verbs as methods of both kinds of client, so that each is written, typed and documented once.

`get = method(verbs.get)` in a class of `Methods` gives a blocking `get(...) -> T` where the driver
is the sync one, and a coroutine function where it is the asyncio one; `feed` the same for verbs
that give items (`Iterator`, `AsyncIterator`). Arguments and docstring are the verb's own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

from perdure.steps import Call, Feed

if TYPE_CHECKING:
    from perdure.aio_driver import AsyncDriver
    from perdure.driver import Driver

P = ParamSpec("P")
T = TypeVar("T")
D_co = TypeVar("D_co", covariant=True)


class Methods(Generic[D_co]):
    """Methods that run their verbs with a driver."""

    driver: D_co


class method(Generic[P, T]):  # noqa: N801  # used as `property` is
    """A verb with one result as a method."""

    def __init__(self, verb: Callable[P, Call[T]]) -> None:
        self._verb = verb
        self.__doc__ = verb.__doc__

    @overload
    def __get__(self, instance: None, owner: type[object]) -> Callable[P, Call[T]]: ...
    @overload
    def __get__(self, instance: Methods[Driver], owner: type[object]) -> Callable[P, T]: ...
    @overload
    def __get__(
        self, instance: Methods[AsyncDriver], owner: type[object]
    ) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, instance: Any, owner: type[object]) -> Any:
        if instance is None:
            return self._verb  # so that help() shows it
        return partial(_run, instance.driver.run, self._verb)


class feed(Generic[P, T]):  # noqa: N801
    """A verb that gives items as a method."""

    def __init__(self, verb: Callable[P, Feed[T]]) -> None:
        self._verb = verb
        self.__doc__ = verb.__doc__

    @overload
    def __get__(self, instance: None, owner: type[object]) -> Callable[P, Feed[T]]: ...
    @overload
    def __get__(
        self, instance: Methods[Driver], owner: type[object]
    ) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(
        self, instance: Methods[AsyncDriver], owner: type[object]
    ) -> Callable[P, AsyncIterator[T]]: ...
    def __get__(self, instance: Any, owner: type[object]) -> Any:
        if instance is None:
            return self._verb  # so that help() shows it
        return partial(_run, instance.driver.iterate, self._verb)


def _run(run: Callable[[Any], Any], verb: Callable[..., Any], /, *args: Any, **options: Any) -> Any:
    return run(verb(*args, **options))
