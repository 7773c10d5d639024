#!/usr/bin/env python
from killswitch.command_line.start import main

if __name__ == "__main__":
    main()
