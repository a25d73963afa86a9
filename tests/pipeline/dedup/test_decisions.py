from webtext.pipeline.settings import ShardSettings


def test_validation_share_and_seed():
    clusters = [n.to_bytes(16, "big") for n in range(20_000)]
    splits = [ShardSettings(val_fraction=0.1).split_of(cluster) for cluster in clusters]
    assert 1800 < splits.count("val") < 2200
    assert splits != [ShardSettings(val_fraction=0.1, seed=1).split_of(cluster) for cluster in clusters]
    assert {ShardSettings(val_fraction=0).split_of(cluster) for cluster in clusters} == {"train"}
