"""The command line: one command per question. It parses, calls, prints and sets the exit code.

Exit codes: 0 done, 1 training itself broke down, 2 bad input (one clear line, no traceback),
130 stopped by Ctrl-C.
"""

from chainrule.cli.app import main

__all__ = ["main"]
