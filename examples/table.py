"""Functions for the agent's brain: a restaurant that takes bookings by voice.

    export PYTHONPATH=examples OPENAI_BASE_URL=http://localhost:11434/v1 OPENAI_MODEL=qwen3:8b
    glm-tts start --set 'brain.functions=[table]'

A model calls them while it talks: it asks for what is missing, looks for a table, and books it when the caller agrees.
"""

import itertools

from pipecat.services.llm_service import FunctionCallParams

SEATS = {"窗边": 2, "大厅": 4, "包间": 10}
"""Tables and how many sit at them; a real restaurant asks its own system here."""
BOOKED: dict[tuple[str, str], int] = {}
"""Table and time, and the number of the booking."""
_NUMBERS = itertools.count(1)


async def find_tables(params: FunctionCallParams, people: int, time: str) -> None:
    """Look for free tables.

    Args:
        params: Pipecat's, for the answer.
        people: How many will come.
        time: When, as YYYY-MM-DD HH:MM.
    """
    free = [table for table, seats in SEATS.items() if seats >= people and (table, time) not in BOOKED]
    await params.result_callback({"free": free})


async def book_table(params: FunctionCallParams, table: str, time: str, name: str) -> None:
    """Book one of the free tables, after the caller has agreed to it.

    Args:
        params: Pipecat's, for the answer.
        table: As `find_tables` named it.
        time: When, as YYYY-MM-DD HH:MM.
        name: Of the caller.
    """
    if table not in SEATS or (table, time) in BOOKED:
        await params.result_callback({"error": f"{table} is not free at {time}"})
        return
    BOOKED[table, time] = number = next(_NUMBERS)
    await params.result_callback({"booked": table, "time": time, "name": name, "number": number})
