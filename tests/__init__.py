"""The tests. A package of its own, because torch-fidelity installs one that is called ``tests``, too."""
