"""Push-T on stable-worldmodel: its law of motion, an expert, data."""
