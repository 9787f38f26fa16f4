"""Lines about prompts that concern all of them, each said once."""

import logging
from dataclasses import dataclass, field


@dataclass(eq=False)
class Notes:
    """Writes lines to the logger "mvg"; of each kind the first one only."""

    _written: set[str] = field(default_factory=set)

    def once(self, message: str, *details: object) -> None:
        """Write a line, unless one of its kind was written; message: with the places of the details, as logging has."""
        if message not in self._written:
            logging.getLogger("mvg").warning(message, *details)
        self._written.add(message)
