"""``python -m anifacegan``: the console command, also where it is not installed or not on the path."""

from anifacegan.cli.start import main

if __name__ == "__main__":
    main()
