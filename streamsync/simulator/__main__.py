"""`python -m streamsync.simulator`: the simulated ERP as a process of its own."""

from streamsync.simulator.process import simulator

if __name__ == "__main__":
    simulator()
