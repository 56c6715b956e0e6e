# Dashboards and alerts, from the same two files that Prometheus and Grafana read: what pages somebody does not depend on
# where it is watched. Cloud Monitoring understands PromQL.

locals {
  groups = yamldecode(file(var.alert_rules_file)).groups
  rules = {
    for rule in flatten([for group in local.groups : group.rules]) : rule.alert => {
      expr     = trimspace(rule.expr)
      seconds  = local.durations[rule.for]
      severity = rule.labels.severity
      # Go templates are Prometheus's; here the labels stand beside the summary by themselves.
      summary = trimspace(replace(replace(rule.annotations.summary, "/\\{\\{[^}]*\\}\\}/", "…"), "/^…:? */", ""))
      runbook = "${var.runbook_base_url}/${rule.annotations.runbook}"
    }
  }
  durations = { "0m" = 0, "30s" = 30, "1m" = 60, "2m" = 120, "5m" = 300, "10m" = 600 }

  # Grafana's grid has 24 columns, the mosaic 48. Every panel but the rows' titles becomes a tile in the same place.
  panels = [for panel in jsondecode(file(var.dashboard_file)).panels : panel if panel.type != "row"]
  tiles = [for panel in local.panels : {
    xPos   = panel.gridPos.x * 2
    yPos   = panel.gridPos.y * 2
    width  = panel.gridPos.w * 2
    height = panel.gridPos.h * 2
    widget = merge({ title = panel.title }, {
      for kind, chart in local.charts[panel.id] : kind => chart
      if(kind == "scorecard") == (panel.type == "stat")
    })
  }]
  # A tile is one of the two; what a panel is not is left out above.
  charts = {
    for panel in local.panels : panel.id => {
      scorecard = {
        timeSeriesQuery = { prometheusQuery = local.queries[panel.id][0] }
      }
      xyChart = {
        dataSets = [for query in local.queries[panel.id] : {
          plotType        = panel.type == "heatmap" ? "HEATMAP" : "LINE"
          timeSeriesQuery = { prometheusQuery = query }
        }]
      }
    }
  }
  queries = {
    for panel in local.panels : panel.id => [
      for target in panel.targets :
      replace(replace(target.expr, "$__rate_interval", "5m"), "$region", ".+")
    ]
  }
}

resource "google_monitoring_notification_channel" "email" {
  for_each = toset(var.notification_emails)

  project      = var.project_id
  display_name = "Cartograph: ${each.value}"
  type         = "email"
  labels = {
    email_address = each.value
  }
}

resource "google_monitoring_alert_policy" "rule" {
  for_each = local.rules

  project               = var.project_id
  display_name          = "${var.name}: ${each.key}"
  combiner              = "OR"
  severity              = each.value.severity == "page" ? "CRITICAL" : "WARNING"
  notification_channels = [for channel in google_monitoring_notification_channel.email : channel.id]
  user_labels           = var.labels

  conditions {
    display_name = each.value.summary
    condition_prometheus_query_language {
      query               = each.value.expr
      duration            = "${each.value.seconds}s"
      evaluation_interval = "30s"
      alert_rule          = each.key
    }
  }

  documentation {
    subject   = "${each.key}: ${each.value.summary}"
    mime_type = "text/markdown"
    content   = "${each.value.summary}\n\nWhat to do: [${each.key}](${each.value.runbook})"
    links {
      display_name = "What to do"
      url          = each.value.runbook
    }
  }

  alert_strategy {
    auto_close = "3600s"
  }
}

resource "google_monitoring_dashboard" "main" {
  project = var.project_id
  dashboard_json = jsonencode({
    displayName  = "Cartograph (${var.name})"
    mosaicLayout = { columns = 48, tiles = local.tiles }
  })
}

resource "google_monitoring_uptime_check_config" "public" {
  for_each = var.public_domain == null ? {} : { public = var.public_domain }

  project      = var.project_id
  display_name = "${var.name}: the global address"
  timeout      = "10s"
  period       = "60s"

  # An unseen cart is an empty cart: any identifier answers 200.
  http_check {
    path         = "/v1/carts/uptime-check"
    port         = 443
    use_ssl      = true
    validate_ssl = true
  }

  monitored_resource {
    type = "uptime_url"
    labels = {
      project_id = var.project_id
      host       = each.value
    }
  }
}
