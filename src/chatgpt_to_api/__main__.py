"""``python -m chatgpt_to_api`` is the command itself."""

from chatgpt_to_api.cli.main import main

if __name__ == "__main__":
    main()
