"""How fast mvg is, and how much memory it takes: what is compared runs side by side, in turn, in one process."""
