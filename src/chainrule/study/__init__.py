"""Study: the claims of the course as experiments; and the verb ``chainrule.study(name)``.

As with ``chainrule.network``, the package and the verb bear one name, so the package itself can
be called; see :func:`chainrule.study.run.study`.

Examples:
    >>> import chainrule
    >>> chainrule.study("zero-input").verdict.kind
    'holds'
"""

import sys
from types import ModuleType
from typing import Any


class _Verb(ModuleType):
    """This package, able to be called."""

    def __call__(self, name: str | None = None, **options: Any) -> Any:
        from chainrule.study.run import study

        return study(name, **options)


sys.modules[__name__].__class__ = _Verb
