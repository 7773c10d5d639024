from django.apps import AppConfig


class OrdersUiConfig(AppConfig):
    name = "orders_ui"
    label = "orders_ui"
