# The example as it is written, with Google mocked.

mock_provider "google" {
  source = "../../tests/mocks"
}

variables {
  project_id = "shop-test"
  image      = "europe-docker.pkg.dev/shop-test/cartograph/cartograph:1.0.0"
}

run "as_written" {
  assert {
    condition     = length(output.resp_endpoint) == 5
    error_message = "Five regions."
  }
}
