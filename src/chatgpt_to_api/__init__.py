"""ChatGPT-to-API: a self-hosted gateway between API dialects and model access."""

from typing import Final

# Written here and read by the build: asking the installed metadata costs a tenth of every start.
__version__: Final = "0.1.0"
