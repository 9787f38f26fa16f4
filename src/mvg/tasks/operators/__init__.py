"""How queries were measured: one file for each, which offers MEASUREMENT (see `mvg.tasks.measurement`)."""
