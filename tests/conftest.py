import sys

from hypothesis import HealthCheck, settings
from loguru import logger

logger.remove()
logger.add(sys.stderr, level="WARNING")

# The same examples on every machine, however slow it is.
settings.register_profile("steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")
