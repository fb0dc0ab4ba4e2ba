# The voice agent on two CPU cores, its models baked in: nothing is fetched when it runs.
# docker build -t pipecat-glm-tts .   (docs/deployment.md has the rest)

FROM python:3.12-slim AS build
WORKDIR /source
COPY . .
RUN python -m venv /opt/agent \
    && /opt/agent/bin/pip install --no-cache-dir ".[agent,phone]"
# What is derived from the models once: the streaming graphs, the recogniser's folder.
ENV GLM_TTS_CACHE=/opt/models
RUN /opt/agent/bin/python -c "from pipecat_glm_tts.tts_service.recogniser import Recogniser; Recogniser()" \
    && /opt/agent/bin/glm-tts say 你好。 -o /tmp/hello.wav

FROM python:3.12-slim
RUN useradd --uid 10001 --create-home agent
COPY --from=build /opt/agent /opt/agent
COPY --from=build --chown=agent /opt/models /opt/models
ENV PATH=/opt/agent/bin:$PATH GLM_TTS_CACHE=/opt/models PYTHONUNBUFFERED=1
USER 10001
WORKDIR /home/agent
EXPOSE 7860
HEALTHCHECK --start-period=60s --interval=30s --timeout=5s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/health', timeout=4)"]
ENTRYPOINT ["glm-tts-agent"]
CMD ["--host", "0.0.0.0"]
