"""From files to a folder of results: the request, the stages, the videos, the folder."""
