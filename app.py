"""The frame of every page: page table, navigation, shared sidebar."""

import streamlit as st

from pages import _controls, _ui

st.set_page_config(page_title="Weight Decay Playground", page_icon="⚖️", layout="wide")
_ui.warm_up()
_ui.wide()
page = st.navigation(
    [
        st.Page("pages/boundaries.py", title="Decision boundaries", icon=":material/grid_view:", default=True),
        st.Page("pages/norms.py", title="Weight norms", icon=":material/show_chart:", url_path="norms"),
        st.Page("pages/prior.py", title="Gaussian prior (MAP)", icon=":material/adjust:", url_path="prior"),
    ],
    position="top",
)
_controls.sidebar()
page.run()
