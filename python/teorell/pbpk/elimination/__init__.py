"""How a drug leaves the body, a process a file: the liver, in vitro scaling, filtration."""
