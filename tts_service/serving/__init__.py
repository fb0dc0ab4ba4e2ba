"""Speech for programs elsewhere, by HTTP and websocket, in the forms that existing clients speak.

`asked` what may stand in a request, `answered` audio and times in the forms of an answer, `refusals` errors as clients
read them. The routes themselves are in `tts_service.serving.speech_api`.
"""
