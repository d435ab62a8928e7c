"""Other libraries' interfaces over openwmi's sessions, for programs that were written for them."""
