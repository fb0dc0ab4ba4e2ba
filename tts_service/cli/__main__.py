"""`python -m tts_service.cli`."""

from tts_service.cli import main

main()
