"""Each kind of upstream, made from its settings; a kind is imported where one is configured."""
