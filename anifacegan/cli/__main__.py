"""``python -m anifacegan.cli``: the console command without its installation."""

from anifacegan.cli.start import main

if __name__ == "__main__":
    main()
