import multiprocessing

import pytest
from apache_beam.options.pipeline_options import PipelineOptions

pytest.importorskip("boto3", reason="the extra aws is not installed")

from apache_beam.io.aws.s3io import S3IO

from webtext.pipeline.files import object_stores

FLAGS = ("--s3_access_key_id=a", "--s3_secret_access_key=b", "--s3_region_name=us-east-1")


def client(*flags):
    """What Beam makes for one operation on a file."""
    return S3IO(options=PipelineOptions([*FLAGS, *flags])).client


def test_operations_share_a_session_and_nothing_else():
    one, two = client(), client()
    assert one.client is two.client
    one._download_pos = 7
    assert two._download_pos == client()._download_pos == 0
    assert client("--s3_endpoint_url=http://127.0.0.1:1").client is not one.client


def _tell_whether_shared(known, answer):
    answer.send(id(client().client) == known)


def test_a_forked_process_has_sockets_of_its_own():
    assert object_stores.FileSystems
    mine, yours = multiprocessing.Pipe()
    arguments = (id(client().client), yours)
    child = multiprocessing.get_context("fork").Process(target=_tell_whether_shared, args=arguments, daemon=True)
    child.start()
    assert mine.poll(60)
    assert mine.recv() is False
    child.join(60)
