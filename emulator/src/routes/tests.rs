//! Tests of `routes.rs`.

use super::*;

#[test]
fn index_is_position() {
    for (position, entry) in TABLE.iter().enumerate() {
        assert_eq!(entry.route.index(), position);
    }
}

#[test]
fn paths_find_their_route() {
    for (path, route) in [
        ("/v1/chat/completions", Route::ChatCompletions),
        ("/v1/models", Route::Models),
        ("/v1/models/gpt-4.1", Route::Model),
        ("/v1/models/a/b", Route::Other),
        ("/v1/files", Route::Files),
        ("/v1/files/file-1/content", Route::Files),
        ("/v1/filesystem", Route::Other),
        ("/v1/audio/speech", Route::Audio),
        ("/minimax/v1/messages", Route::MinimaxMessages),
        ("other", Route::Other),
        ("/", Route::Other),
    ] {
        assert_eq!(Route::of(path), route, "{path}");
    }
}
