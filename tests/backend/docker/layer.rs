//! What a run writes beside its directories.

use super::{DockerBed, OTHER};
use crate::suite::{Bed, clean, end_of, launch, until_it_says};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_run_writes_beside_its_directories_is_told_while_it_runs_and_once_it_has_ended() {
    const MB: u64 = 1_000_000;
    let Some(bed) = DockerBed::of(OTHER, true).await else { return };
    let backend = bed.backend();
    let write = "head -c 5000000 /dev/zero > /var/tmp/big; head -c 7000000 /dev/zero > $JOB_OUTPUT_DIR/big";
    let spec = bed.spec(&format!("{write}; echo written; sleep 1; head -c 5000000 /dev/zero > /tmp/big"));
    let size = async || backend.layer_size(&spec.run).await.expect("it tells");
    assert_eq!(size().await, None, "there is no container yet");
    launch(&*backend, &spec).await;
    until_it_says(&spec, "written").await;
    let told = size().await.expect("there is one");
    assert!((5 * MB..6 * MB).contains(&told), "{told}");
    end_of(&*backend, &spec).await;
    let told = size().await.expect("there still is one");
    assert!((10 * MB..11 * MB).contains(&told), "{told}");
    assert_eq!(bed.other_instance().layer_size(&spec.run).await.expect("it tells"), None, "it is another's");
    clean(&*backend, &spec).await;
    assert_eq!(size().await, None, "there is none any more");
}
