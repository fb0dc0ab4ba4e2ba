"""How a command ends, in numbers; a command that goes well says 0."""

EXIT_FAILED, EXIT_USAGE, EXIT_READER_LEFT = 1, 2, 141
