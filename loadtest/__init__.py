"""The load harness: `python -m loadtest run SCENARIO`. Speed is measured here, and asserted nowhere."""
