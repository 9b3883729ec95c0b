"""Values that a user could install the chart with, by what they are for."""

from __future__ import annotations

from typing import Any

EVERYTHING_ON: dict[str, Any] = {
    "imagePullSecrets": [{"name": "registry"}],
    "service": {"type": "NodePort", "nodePort": 30080},
    "private": {"enabled": True},
    "ingress": {
        "enabled": True, "className": "traefik", "annotations": {"example.com/timeout": 60},
        "host": "jobs.example.com", "tlsSecret": "jobs-tls",
    },
    "httpRoute": {
        "enabled": True, "parentRefs": [{"name": "web", "namespace": "gateways"}],
        "hostnames": ["jobs.example.com"],
    },
    "networkPolicy": {
        "ingressFrom": [{"namespaceSelector": {"matchLabels": {"name": "gateways"}}}],
        "monitoringFrom": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}],
        "egress": [{"ports": [{"port": 6380}]}],
    },
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"key": "spot", "operator": "Exists"}],
    "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "prometheusRule": {
        "enabled": True, "labels": {"release": "prometheus"},
        "runbookUrl": "https://example.com/runbooks",
    },
    "dashboards": {"enabled": True},
    "otlpEndpoint": "http://collector.tracing:4318",
}  # fmt: skip

CLAUDE: dict[str, Any] = {
    "pipeline": {
        "spec": {
            "scorer": {
                "kind": "claude", "model": "m", "secretRef": {"name": "anthropic"},
                "rubricRef": {"name": "rubrics"},
                "requestsPerMinute": 4000, "tokensPerMinute": 2_000_000,
            },
            "connections": {"mode": "perWrite", "maxInFlight": 100},
        }
    }
}  # fmt: skip

BY_URL: dict[str, Any] = {
    "postgres": {"enabled": False, "url": "postgresql://u:p@db.example.com:6432/shortlist"},
    "redis": {"enabled": False, "url": "rediss://cache.example.com:6380/0"},
}

PRIVATE: dict[str, Any] = {
    "private": {"enabled": True},
    "networkPolicy": {
        "privateFrom": [{"namespaceSelector": {"matchLabels": {"name": "gateways"}}}]
    },
    "ingress": {"enabled": True},
}

SCENARIOS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "everything on": EVERYTHING_ON,
    "private": PRIVATE,
    "claude": CLAUDE,
    "existing servers by url": BY_URL,
    "existing servers by secret": {
        "postgres": {"enabled": False, "existingSecret": "db"},
        "redis": {"enabled": False, "existingSecret": "cache"},
    },
    "own servers with existing secrets": {
        "postgres": {"existingSecret": "db"},
        "redis": {"existingSecret": "cache"},
    },
    "all that can be off is off": {
        "operator": {"enabled": False},
        "pipeline": {"create": False},
        "networkPolicy": {"enabled": False},
        "podDisruptionBudget": {"enabled": False},
        "topologySpread": {"enabled": False},
    },
}
