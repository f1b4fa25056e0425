"""One recipe on several machines: what torchrun, Slurm, SkyPilot and Ray are given. Nothing runs here.

The trainer is started by torchrun on every machine and finds the others by itself; the server is vLLM's own, on Ray.
What is written is checked by the tools that it is for, where they are installed.
"""
