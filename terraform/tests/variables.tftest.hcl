# Each mistake that can be seen before anything is made is refused, by the variable that it is in.

mock_provider "google" {
  source = "./tests/mocks"
}

variables {
  project_id  = "shop-test"
  image       = "europe-docker.pkg.dev/shop-test/cartograph/cartograph:1.0.0"
  enable_apis = false
  regions = {
    us-central1  = { id = 1, cidr = "10.10.0.0/24", zones = ["us-central1-a"] }
    europe-west1 = { id = 2, cidr = "10.20.0.0/24", zones = ["europe-west1-b"] }
  }
}

run "project_number" {
  command = plan
  variables { project_id = "123456789" }
  expect_failures = [var.project_id]
}

run "long_name" {
  command = plan
  variables { name = "a-name-that-is-too-long" }
  expect_failures = [var.name]
}

run "no_regions" {
  command = plan
  variables { regions = {} }
  expect_failures = [var.regions]
}

run "same_id_twice" {
  command = plan
  variables {
    regions = {
      us-central1  = { id = 1, cidr = "10.10.0.0/24", zones = ["us-central1-a"] }
      europe-west1 = { id = 1, cidr = "10.20.0.0/24", zones = ["europe-west1-b"] }
    }
  }
  expect_failures = [var.regions]
}

run "id_out_of_range" {
  command = plan
  variables {
    regions = { us-central1 = { id = 65536, cidr = "10.10.0.0/24", zones = ["us-central1-a"] } }
  }
  expect_failures = [var.regions]
}

run "overlapping_ranges" {
  command = plan
  variables {
    regions = {
      us-central1  = { id = 1, cidr = "10.10.0.0/16", zones = ["us-central1-a"] }
      europe-west1 = { id = 2, cidr = "10.10.4.0/24", zones = ["europe-west1-b"] }
    }
  }
  expect_failures = [var.regions]
}

run "no_range" {
  command = plan
  variables {
    regions = { us-central1 = { id = 1, cidr = "10.10.0.0", zones = ["us-central1-a"] } }
  }
  expect_failures = [var.regions]
}

run "zone_of_another_region" {
  command = plan
  variables {
    regions = { us-central1 = { id = 1, cidr = "10.10.0.0/24", zones = ["europe-west1-b"] } }
  }
  expect_failures = [var.regions]
}

run "no_region_of_google" {
  command = plan
  variables {
    regions = { frankfurt = { id = 1, cidr = "10.10.0.0/24", zones = ["frankfurt-a"] } }
  }
  expect_failures = [var.regions]
}

run "unknown_store" {
  command = plan
  variables {
    regions = { us-central1 = { id = 1, cidr = "10.10.0.0/24", zones = ["us-central1-a"], store = { kind = "cluster" } } }
  }
  expect_failures = [var.regions]
}

run "no_append_only_file" {
  command = plan
  variables {
    regions = { us-central1 = { id = 1, cidr = "10.10.0.0/24", zones = ["us-central1-a"], store = { append_fsync = "NEVER" } } }
  }
  expect_failures = [var.regions]
}

run "unknown_setting" {
  command = plan
  variables {
    regions = { us-central1 = { id = 1, cidr = "10.10.0.0/24", zones = ["us-central1-a"], settings = { log_level = "debug" } } }
  }
  expect_failures = [var.regions]
}

run "retired_id" {
  command = plan
  variables { retired_region_ids = [2] }
  expect_failures = [var.retired_region_ids]
}

run "moving_image" {
  command = plan
  variables { image = "europe-docker.pkg.dev/shop-test/cartograph/cartograph:latest" }
  expect_failures = [var.image]
}

run "image_without_tag" {
  command = plan
  variables { image = "europe-docker.pkg.dev/shop-test/cartograph/cartograph" }
  expect_failures = [var.image]
}

run "replace_all_at_once" {
  command = plan
  variables { replace = ["us-central1", "europe-west1"] }
  expect_failures = [var.replace]
}

run "replace_unknown" {
  command = plan
  variables { replace = ["europe-west4"] }
  expect_failures = [var.replace]
}

run "open_to_the_world_by_accident" {
  command = plan
  variables {
    public = { domain = "carts.example.com", client_cidrs = ["0.0.0.0/0"] }
  }
  expect_failures = [var.public]
}

run "open_to_the_world_on_purpose" {
  command = plan
  variables {
    public = { domain = "carts.example.com", client_cidrs = ["*"], open_to_the_world = true }
  }
}

run "no_clients" {
  command = plan
  variables {
    public = { domain = "carts.example.com", client_cidrs = [] }
  }
  expect_failures = [var.public]
}

run "whole_internet_privately" {
  command = plan
  variables { internal_client_cidrs = ["0.0.0.0/0"] }
  expect_failures = [var.internal_client_cidrs]
}

run "zone_without_final_dot" {
  command = plan
  variables { dns_name = "cartograph.internal" }
  expect_failures = [var.dns_name]
}

run "authority_without_location" {
  command = plan
  variables { certificate_authority = { kind = "cas" } }
  expect_failures = [var.certificate_authority]
}

run "certificates_lack_a_region" {
  command = plan
  variables {
    certificates = { version = 1, ca = "CA", identities = { us-central1 = "PEM" } }
  }
  expect_failures = [var.certificates]
}

run "cut_to_nowhere" {
  command = plan
  variables { partition = [{ from = "us-central1", to = "europe-west4" }] }
  expect_failures = [var.partition]
}

run "cut_from_itself" {
  command = plan
  variables { partition = [{ from = "us-central1", to = "us-central1" }] }
  expect_failures = [var.partition]
}

run "address_of_nobody" {
  command = plan
  variables { notification_emails = ["oncall"] }
  expect_failures = [var.notification_emails]
}
