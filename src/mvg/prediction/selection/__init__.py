"""Which prompts a query is shown."""
