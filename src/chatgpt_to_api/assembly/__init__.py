"""Puts the rooms together: from settings to a gateway that runs."""
