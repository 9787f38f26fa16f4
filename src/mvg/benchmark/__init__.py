"""How it is judged: methods x data sets x tasks x seeds -> one line per case and metric -> tables with intervals."""
