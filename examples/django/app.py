"""A whole Django application in one file: it says which server answered, and which visit that was."""

import os
import sys

import redis
from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpResponse
from django.urls import path

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="of no use without sessions")
visits = redis.Redis(host=os.environ["REDIS_HOST"])


def index(_request):
    return HttpResponse(f"hello from {os.environ['HOSTNAME']}, visit {visits.incr('visits')}\n", content_type="text/plain")


urlpatterns = [path("", index)]

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
