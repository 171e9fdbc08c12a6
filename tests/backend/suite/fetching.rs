//! Images are there or said not to be.

use std::sync::Arc;

use uwsd::ports::{BackendError, Pull, RunSpec};

use super::{Bed, Can, can};

pub async fn whether_images_are_used_is_told(bed: &Arc<dyn Bed>) {
    let backend = bed.backend();
    assert_eq!(backend.uses_images(), bed.can(Can::Images));
    let facts = backend
        .fetch_image(&bed.spec("true").image, Pull::Missing, &|_: String| {})
        .await
        .expect("it is there, or not used");
    assert_eq!(facts.digest.is_some(), backend.uses_images());
}

pub async fn an_image_that_is_there_is_named(bed: &Arc<dyn Bed>) {
    if can(&**bed, Can::Images) {
        for pull in [Pull::Never, Pull::Missing] {
            let facts =
                bed.backend().fetch_image(&bed.spec("true").image, pull, &|_: String| {}).await.expect("it is there");
            let digest = facts.digest.expect("it has a name");
            assert!(digest.contains("sha256:"), "{digest}");
        }
    }
}

pub async fn an_image_that_is_nowhere_is_refused(bed: &Arc<dyn Bed>) {
    if can(&**bed, Can::Images) {
        let spec = RunSpec { pull: Pull::Never, image: "localhost:1/no/such:image".into(), ..bed.spec("true") };
        match bed.backend().fetch_image(&spec.image, spec.pull, &|_: String| {}).await {
            Err(BackendError::Image { image, is_transient: false, .. }) => assert_eq!(image, spec.image),
            other => panic!("{other:?}"),
        }
    }
}
