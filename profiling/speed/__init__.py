"""Speed and memory of mvg; what is compared runs in turn, in one process."""
