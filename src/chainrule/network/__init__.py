"""Networks: notation, spec, shapes, modules, zoo; and the verb ``chainrule.network(anything)``.

The package and the verb bear the same name, and importing any module in here would put the
package in the verb's place. So the package itself can be called; see
:func:`chainrule.network.source.network` for what it accepts.

Examples:
    >>> import chainrule
    >>> chainrule.network("INPUT 4, FC-3").fc1
    Linear(in_features=4, out_features=3, bias=True)
"""

import sys
from types import ModuleType
from typing import Any


class _Verb(ModuleType):
    """This package, able to be called."""

    def __call__(self, anything: Any, **options: Any) -> Any:
        from chainrule.network.source import network

        return network(anything, **options)


sys.modules[__name__].__class__ = _Verb
