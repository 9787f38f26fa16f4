"""What the server refuses."""


class ServerError(Exception):
    """A request that the server refused; status: of HTTP, 0 where it could not be reached; message: one line."""

    def __init__(self, status: int, message: str) -> None:
        self.status, self.message = status, message
        super().__init__(message)
