"""python -m perfrdiff.training.demo: the demo weights from nothing; goes on where it was stopped."""

from perfrdiff.training.demo.recipe import main

if __name__ == "__main__":
    main()
