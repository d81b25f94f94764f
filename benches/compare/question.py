"""What engines are asked."""

from dataclasses import dataclass, field
from typing import Callable


@dataclass
class Question:
    """A statement over tables in braces; other dialects only where they differ."""

    name: str
    sql: str
    dialects: dict = field(default_factory=dict)
    polars: Callable | None = None
    delimiter: str = ","

    def in_dialect(self, dialect):
        return self.dialects.get(dialect, self.sql)
