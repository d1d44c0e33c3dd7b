"""The page: a speaker and a listener go in, their reactions come out. Hugging Face Spaces start it, too.

python app.py    then open http://127.0.0.1:7860
"""

from page.server import main

if __name__ == "__main__":
    main()
