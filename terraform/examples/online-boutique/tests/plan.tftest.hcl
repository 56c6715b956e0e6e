# The example as it is written, with Google mocked.

mock_provider "google" {
  source = "../../tests/mocks"
}

variables {
  project_id     = "shop-test"
  image          = "europe-docker.pkg.dev/shop-test/cartograph/cartograph:1.0.0"
  operator_cidrs = ["192.0.2.0/24"]
}

run "as_written" {
  assert {
    condition     = length(output.commands) == 2 && strcontains(output.commands["europe-west1"][1], "doors-europe-west1.cartograph.internal:7301")
    error_message = "Each cluster uses the doors of its own region."
  }
}
