"""What `demo/check.py` needs: the demo as a process, and a browser."""
